/* A kernel at every place; of 2x2 places only the largest sum counts, or the smallest, of a neuron with flipped weights. */
static void net_places_I(const input_t in[], output_t out[])
{
    enum { CHANNELS = 1, HEIGHT = 4, WIDTH = 4, NEXT_CHANNEL = 1, NEXT_ROW = 4, NEXT = 1 }; /* of the input */
    enum { SIDE = 3, STRIDE = 1, PADDING = 0, POOL = 1, NEURONS = 8, ROOM = 12, SIZE = 16, ROWS = 2, COLUMNS = 2, OUTPUTS = 8 };
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++, out += OUTPUTS) {
            int32_t largest[NEURONS], sums[ROOM];
            for (int square = 0; square < POOL * POOL; square++) {
                const int top = (POOL * row + square / POOL) * STRIDE - PADDING;
                const int left = (POOL * column + square % POOL) * STRIDE - PADDING;
                input_t window[SIZE], *w = window;
                for (int y = top; y < top + SIDE; y++)
                    for (int x = left; x < left + SIDE; x++)
                        for (int c = 0; c < CHANNELS; c++) {
                            const int inside = y >= 0 && y < HEIGHT && x >= 0 && x < WIDTH;
                            *w++ = inside ? in[y * NEXT_ROW + x * NEXT + c * NEXT_CHANNEL] : 0;
                        }
                while (w < window + SIZE)
                    *w++ = 0;
                SUMS(window, sums);
                for (int n = 0; n < NEURONS; n++)
                    if (square == 0 || (sums[n] > largest[n]) != FLIPPED(n))
                        largest[n] = sums[n];
            }
            ACTIVATE(largest, out);
        }
}
