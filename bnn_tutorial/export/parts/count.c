/* The bits of a word that are 1, counted in pairs of bits, in fours, in bytes, and at last over the bytes. */
static uint32_t net_popcount(uint32_t v)
{
    v = v - (v >> 1 & 0x55555555);
    v = (v & 0x33333333) + (v >> 2 & 0x33333333);
    v = (v + (v >> 4)) & 0x0f0f0f0f;
    return v * 0x01010101 >> 24;
}

/*
 * In how many places do a neuron's weights differ from its inputs? That many bits are 1 in their XOR. Three words at a
 * time: in each place, a + b + c = ones + 2 * twos, and two words are counted in place of three.
 */
static int32_t net_differences(const uint32_t x[], const uint32_t weights[], int threes, int rest)
{
    uint32_t count = 0;
    for (; threes > 0; threes--, x += 3, weights += 3) {
        const uint32_t a = x[0] ^ weights[0], b = x[1] ^ weights[1], c = x[2] ^ weights[2];
        uint32_t ones = a ^ b ^ c, twos = (a & b) | ((a ^ b) & c), fours;
        ones = ones - (ones >> 1 & 0x55555555);
        twos = twos - (twos >> 1 & 0x55555555);
        fours = (ones & 0x33333333) + (ones >> 2 & 0x33333333);
        fours += 2 * ((twos & 0x33333333) + (twos >> 2 & 0x33333333));
        count += ((fours & 0x0f0f0f0f) + (fours >> 4 & 0x0f0f0f0f)) * 0x01010101 >> 24;
    }
    for (; rest > 0; rest--)
        count += net_popcount(*x++ ^ *weights++);
    return (int32_t)count;
}

/* Signs times signs: the sum is the number of inputs less twice the differences. */
static void net_count(const uint32_t x[], int inputs, int threes, int rest, const uint32_t weights[], int neurons, int32_t sums[])
{
    for (; neurons > 0; neurons--, weights += 3 * threes + rest)
        *sums++ = inputs - 2 * net_differences(x, weights, threes, rest);
}
