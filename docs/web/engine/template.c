/*
 * A binary neural network, 784-300-100-10, written by bnn_tutorial.packed.c.
 *
@provenance@ *
 * Freestanding C99. A weight is a bit, 1 for +1 and 0 for -1, and so is the output of a hidden neuron; 32 of them are a
 * word, the first in its lowest bit.
 */
#ifndef MY_DIGITS_C
#define MY_DIGITS_C

#include <stdint.h>

/* A function that is called often, and better compiled by itself. */
#ifdef __GNUC__
#define my_digits_NOINLINE __attribute__((noinline))
#else
#define my_digits_NOINLINE
#endif

/* The class of an image of 784 pixels, 0 to 255, where much is ink; the last layer's 10 sums are stored. */
int my_digits_classify(const uint8_t pixels[784], int32_t sums[10]);

/* The bits of a word that are 1, counted in pairs of bits, in fours, in bytes, and at last over the bytes. */
static uint32_t my_digits_popcount(uint32_t v)
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
static int32_t my_digits_differences(const uint32_t x[], const uint32_t weights[], int threes, int rest)
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
        count += my_digits_popcount(*x++ ^ *weights++);
    return (int32_t)count;
}

/*
 * Layer 0: 300 neurons of 784 pixels, as they are.
 *
 * Of 8 pixels at a time, the table has twice the sums of all their subsets: sums[b] of those whose bit in b is 1.
 * The weights of a neuron for these pixels are a b, too, so the ink where its weights are +1 stands in the table. All
 * other ink it subtracts: its sum is twice that ink less all of it. Pixels without ink change nothing.
 */
static const uint8_t my_digits_signs_0[29400] = {
    @signs_0@
};

static const int32_t my_digits_threshold_0[300] = {
    @threshold_0@
};

typedef union {
    uint32_t pairs[128];
    uint16_t sums[256];
} my_digits_table;

/* Behind the sums without two pixels those with the one, the other, both; two at a time, which never carry. */
static my_digits_NOINLINE void my_digits_fourfold(uint32_t pairs[], int quarter, uint32_t p, uint32_t q)
{
    for (const uint32_t *end = pairs + quarter; pairs < end; pairs += 8) {
        pairs[quarter + 0] = pairs[0] + p;
        pairs[2 * quarter + 0] = pairs[0] + q;
        pairs[3 * quarter + 0] = pairs[0] + p + q;
        pairs[quarter + 1] = pairs[1] + p;
        pairs[2 * quarter + 1] = pairs[1] + q;
        pairs[3 * quarter + 1] = pairs[1] + p + q;
        pairs[quarter + 2] = pairs[2] + p;
        pairs[2 * quarter + 2] = pairs[2] + q;
        pairs[3 * quarter + 2] = pairs[2] + p + q;
        pairs[quarter + 3] = pairs[3] + p;
        pairs[2 * quarter + 3] = pairs[3] + q;
        pairs[3 * quarter + 3] = pairs[3] + p + q;
        pairs[quarter + 4] = pairs[4] + p;
        pairs[2 * quarter + 4] = pairs[4] + q;
        pairs[3 * quarter + 4] = pairs[4] + p + q;
        pairs[quarter + 5] = pairs[5] + p;
        pairs[2 * quarter + 5] = pairs[5] + q;
        pairs[3 * quarter + 5] = pairs[5] + p + q;
        pairs[quarter + 6] = pairs[6] + p;
        pairs[2 * quarter + 6] = pairs[6] + q;
        pairs[3 * quarter + 6] = pairs[6] + p + q;
        pairs[quarter + 7] = pairs[7] + p;
        pairs[2 * quarter + 7] = pairs[7] + q;
        pairs[3 * quarter + 7] = pairs[7] + p + q;
    }
}

static uint32_t my_digits_tabulate(const uint8_t corner[], int pixels, my_digits_table *table)
{
    const uint32_t p[8] = {
        corner[0], corner[1], corner[2], corner[3],
        corner[28], corner[29], corner[30], corner[31]
    };
    const uint32_t all = p[0] + p[1] + p[2] + p[3] + p[4] + p[5] + p[6] + p[7];
    (void)pixels;
    if (all == 0)
        return 0;
    table->sums[0] = 0;
    table->sums[1] = (uint16_t)(2 * p[0]);
    for (int k = 1; k < 4; k++)
        for (int b = 0; b < 1 << (k - 1); b++)
            table->pairs[(1 << (k - 1)) + b] = table->pairs[b] + p[k] * 0x20002;
    for (int k = 4; k < 8; k += 2)
        my_digits_fourfold(table->pairs, 1 << (k - 1), p[k] * 0x20002, p[k + 1] * 0x20002);
    return all;
}

static void my_digits_add(int32_t ink[], const my_digits_table *a, const uint8_t a_signs[], const my_digits_table *b, const uint8_t b_signs[])
{
    for (int left = 25; left > 0; left--) {
        ink[0] += a->sums[a_signs[0]] + b->sums[b_signs[0]];
        ink[1] += a->sums[a_signs[1]] + b->sums[b_signs[1]];
        ink[2] += a->sums[a_signs[2]] + b->sums[b_signs[2]];
        ink[3] += a->sums[a_signs[3]] + b->sums[b_signs[3]];
        ink[4] += a->sums[a_signs[4]] + b->sums[b_signs[4]];
        ink[5] += a->sums[a_signs[5]] + b->sums[b_signs[5]];
        ink[6] += a->sums[a_signs[6]] + b->sums[b_signs[6]];
        ink[7] += a->sums[a_signs[7]] + b->sums[b_signs[7]];
        ink[8] += a->sums[a_signs[8]] + b->sums[b_signs[8]];
        ink[9] += a->sums[a_signs[9]] + b->sums[b_signs[9]];
        ink[10] += a->sums[a_signs[10]] + b->sums[b_signs[10]];
        ink[11] += a->sums[a_signs[11]] + b->sums[b_signs[11]];
        ink += 12, a_signs += 12, b_signs += 12;
    }
}

static void my_digits_neurons_0(const uint8_t x[], uint32_t out[])
{
    my_digits_table tables[2];
    const uint8_t *signs = my_digits_signs_0, *waiting = 0; /* for the table of a second group */
    int32_t ink[300], all = 0;
    for (int n = 0; n < 300; n++)
        ink[n] = -my_digits_threshold_0[n];
    for (int y = 0; y < 28; y += 2)
        for (int column = 0; column < 28; column += 4) {
            const uint32_t here = my_digits_tabulate(x + 28 * y + column, 8, &tables[waiting != 0]);
            if (here != 0 && waiting)
                my_digits_add(ink, &tables[0], waiting, &tables[1], signs);
            if (here != 0)
                waiting = waiting ? 0 : signs;
            all += (int32_t)here;
            signs += 300;
        }
    if (waiting) {
        for (int k = 0; k < 128; k++)
            tables[1].pairs[k] = 0;
        my_digits_add(ink, &tables[0], waiting, &tables[1], waiting);
    }
    for (int n = 300, w = 9; w >= 0; w--) {
        uint32_t word = 0;
        for (; n > 32 * w; n--)
            word = word << 1 | (ink[n - 1] >= all);
        out[w] = word;
    }
}

/*
 * Layer 1: 100 neurons of 300 signs. A neuron's sum is 300 - 2 * differences; it reaches
 * the threshold where the differences are not more than my_digits_most_1.
 */
static const uint32_t my_digits_weights_1[1000] = {
    @weights_1@
};

static const int16_t my_digits_most_1[100] = {
    @most_1@
};

static void my_digits_neurons_1(const uint32_t x[], uint32_t out[])
{
    uint32_t word = 0;
    for (int n = 99; n >= 0; n--) {
        word = word << 1 | (uint32_t)(my_digits_differences(x, my_digits_weights_1 + n * 10, 3, 1) <= my_digits_most_1[n]);
        if (n % 32 == 0)
            out[n / 32] = word;
    }
}

/*
 * Layer 2: 10 classes of 100 signs. A class's logit is scale * sum + shift, here as whole
 * numbers. They are rounded from floats, but for every class and every sum that there is in the same order as those.
 */
static const uint32_t my_digits_weights_2[40] = {
    @weights_2@
};

static const @kind@ my_digits_scale[10] = {
    @scale@
};

static const @kind@ my_digits_shift[10] = {
    @shift@
};

static int my_digits_largest(const uint32_t x[], int32_t sums[])
{
    @kind@ most = 0;
    int best = 0;
    for (int n = 0; n < 10; n++) {
        sums[n] = 100 - 2 * my_digits_differences(x, my_digits_weights_2 + n * 4, 1, 1);
        const @kind@ logit = my_digits_scale[n] * sums[n] + my_digits_shift[n];
        if (n == 0 || logit > most) {
            most = logit;
            best = n;
        }
    }
    return best;
}

int my_digits_classify(const uint8_t pixels[784], int32_t sums[10])
{
    uint32_t x1[10], x2[4];
    my_digits_neurons_0(pixels, x1);
    my_digits_neurons_1(x1, x2);
    return my_digits_largest(x2, sums);
}

#endif
