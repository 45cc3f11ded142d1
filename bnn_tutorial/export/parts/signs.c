/* Which numbers reach their thresholds, as bits. */
static void net_signs(const int32_t sums[], int neurons, const int32_t thresholds[], uint32_t out[])
{
    uint32_t word = 0;
    for (int n = neurons - 1; n >= 0; n--) {
        word = word << 1 | (uint32_t)(sums[n] >= thresholds[n]);
        if (n % 32 == 0)
            out[n / 32] = word;
    }
}
