/* Of two inputs the products with all neurons' codes, so many in a byte. */
static NET_NOINLINE void net_add_I(int32_t sums[], int32_t a, const uint8_t v[], int32_t b, const uint8_t w[])
{
    enum { ROW = 4, BITS = 4, MASK = (1 << BITS) - 1 };
    for (int i = 0; i < ROW; i++, sums += 8 / BITS)
        for (int j = 0; j < 8 / BITS; j++)
            sums[j] += a * (v[i] >> BITS * j & MASK) + b * (w[i] >> BITS * j & MASK);
}

/* A weight is FACTOR times its code less LESS, and so is a sum; inputs that are 0 change nothing. */
static void net_layer_I(const input_t x[], int32_t sums[])
{
    enum { COUNT = 2, NEURONS = 8, ROW = 4, FACTOR = 2, LESS = 15 };
    int32_t all = 0;
    int waiting = -1; /* for a second input that is not 0 */
    for (int n = 0; n < NEURONS; n++)
        sums[n] = 0;
    for (int k = 0; k < COUNT; k++) {
        if (x[k] == 0)
            continue;
        all += x[k];
        if (waiting >= 0)
            net_add_I(sums, x[waiting], net_codes_I + ROW * waiting, x[k], net_codes_I + ROW * k);
        waiting = waiting >= 0 ? -1 : k;
    }
    if (waiting >= 0)
        net_add_I(sums, x[waiting], net_codes_I + ROW * waiting, 0, net_codes_I);
    for (int n = 0; n < NEURONS; n++)
        sums[n] = (int32_t)(FACTOR * (uint32_t)sums[n] - LESS * (uint32_t)all);
}
