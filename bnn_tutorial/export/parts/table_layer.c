static void net_layer_I(const uint8_t x[], int32_t sums[])
{
    enum { NEURONS = 12, LINES = 1, LINE = 0, GROUPS = 2, STEP = 8, OTHER = 4 };
    net_table tables[2];
    const uint8_t *signs = net_signs_I, *waiting = 0; /* for the table of a second group */
    int32_t all = 0;
    for (int n = 0; n < NEURONS; n++)
        sums[n] = 0;
    for (int line = 0; line < LINES; line++, x += LINE)
        for (int group = 0; group < GROUPS; group++, signs += NEURONS) {
            const uint8_t *first = x + STEP * group;
            const uint32_t here = net_tabulate(first, OTHER ? first + OTHER : 0, &tables[waiting != 0]);
            if (here == 0)
                continue;
            if (waiting)
                net_look_up(sums, NEURONS, &tables[0], waiting, &tables[1], signs);
            waiting = waiting ? 0 : signs;
            all += (int32_t)here;
        }
    if (waiting) {
        for (int k = 0; k < 128; k++)
            tables[1].pairs[k] = 0;
        net_look_up(sums, NEURONS, &tables[0], waiting, &tables[1], waiting);
    }
    for (int n = 0; n < NEURONS; n++)
        sums[n] -= all;
}
