/* Which numbers reach their thresholds, as +1 and -1. */
static void net_plus_minus(const int32_t sums[], int neurons, const int32_t thresholds[], int8_t out[])
{
    for (int n = 0; n < neurons; n++)
        out[n] = sums[n] >= thresholds[n] ? 1 : -1;
}
