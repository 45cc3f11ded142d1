/* An activation of several bits: from 0 to the largest code. */
static void net_codes(const int32_t sums[], int neurons, const int32_t multiplier[], const int32_t offset[], int point, int top, uint8_t out[])
{
    for (int n = 0; n < neurons; n++) {
        const int32_t code = net_affine(sums[n], multiplier[n], offset[n]) >> point;
        out[n] = (uint8_t)(code < 0 ? 0 : code > top ? top : code);
    }
}
