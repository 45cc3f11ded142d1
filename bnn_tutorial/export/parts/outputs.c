/*
 * floor(multiplier * sum / 65536) + offset, with products of 32 bits. A shift of a negative number keeps its sign, as all
 * compilers for such chips have it.
 */
static int32_t net_affine(int32_t sum, int32_t multiplier, int32_t offset)
{
    const uint32_t s = (uint32_t)sum, low = (uint32_t)multiplier & 0xffff;
    const uint32_t rest = (uint32_t)(sum >> 16) * low + ((s & 0xffff) * low >> 16);
    return (int32_t)((uint32_t)(multiplier >> 16) * s + rest + (uint32_t)offset);
}

/* The class: the first with the largest logit. */
static int net_largest(const int32_t sums[], int classes, const int32_t multiplier[], const int32_t offset[])
{
    int best = 0;
    int32_t most = net_affine(sums[0], multiplier[0], offset[0]);
    for (int n = 1; n < classes; n++) {
        const int32_t logit = net_affine(sums[n], multiplier[n], offset[n]);
        if (logit > most) {
            most = logit;
            best = n;
        }
    }
    return best;
}
