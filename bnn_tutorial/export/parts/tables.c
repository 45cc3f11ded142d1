/*
 * Bytes times weights of +1 and -1, by tables of partial sums. Of 8 or 4 inputs at a time, the table has twice the sums
 * of all their subsets: sums[b] of those whose bit in b is 1. The weights of a neuron for these inputs are a b, too, so
 * what it adds stands in the table. All other inputs it subtracts: its sum is twice those that it adds less all.
 */
typedef union {
    uint32_t pairs[128];
    uint16_t sums[256];
} net_table;

/* Behind the sums without two inputs those with the one, the other, both; two at a time, which never carry. */
static NET_NOINLINE void net_fourfold(uint32_t pairs[], int quarter, uint32_t p, uint32_t q)
{
#define NET_STEP(k) \
    pairs[quarter + k] = pairs[k] + p; \
    pairs[2 * quarter + k] = pairs[k] + q; \
    pairs[3 * quarter + k] = pairs[k] + p + q;
    for (const uint32_t *end = pairs + quarter; pairs < end; pairs += 8) {
        NET_STEP(0) NET_STEP(1) NET_STEP(2) NET_STEP(3) NET_STEP(4) NET_STEP(5) NET_STEP(6) NET_STEP(7)
    }
#undef NET_STEP
}

/* The table of four inputs, or of these and four that lie elsewhere; the sum of all. */
static uint32_t net_tabulate(const uint8_t x[], const uint8_t *other, net_table *table)
{
    uint32_t p[8] = {x[0], x[1], x[2], x[3], 0, 0, 0, 0}, all = p[0] + p[1] + p[2] + p[3];
    for (int k = 0; other && k < 4; k++)
        all += p[4 + k] = other[k];
    if (all == 0)
        return 0;
    table->sums[0] = 0;
    table->sums[1] = (uint16_t)(2 * p[0]);
    for (int k = 1; k < 4; k++)
        for (int b = 0; b < 1 << (k - 1); b++)
            table->pairs[(1 << (k - 1)) + b] = table->pairs[b] + p[k] * 0x20002;
    if (other) {
        net_fourfold(table->pairs, 8, p[4] * 0x20002, p[5] * 0x20002);
        net_fourfold(table->pairs, 32, p[6] * 0x20002, p[7] * 0x20002);
    }
    return all;
}

/* What neurons, twelve at a time, find in two tables. */
static void net_look_up(int32_t sums[], int left, const net_table *a, const uint8_t i[], const net_table *b, const uint8_t j[])
{
#define NET_STEP(k) sums[k] += a->sums[i[k]] + b->sums[j[k]];
    for (; left > 0; left -= 12, sums += 12, i += 12, j += 12) {
        NET_STEP(0) NET_STEP(1) NET_STEP(2) NET_STEP(3) NET_STEP(4) NET_STEP(5)
        NET_STEP(6) NET_STEP(7) NET_STEP(8) NET_STEP(9) NET_STEP(10) NET_STEP(11)
    }
#undef NET_STEP
}
