/* Pixels as bits, those of a place together: 1 from `least` on. */
static void net_pixels(const uint8_t pixels[], int places, int channels, int least, uint32_t out[])
{
    for (int place = 0; place < places; place++, out += (channels + 31) / 32) {
        uint32_t word = 0;
        for (int c = channels - 1; c >= 0; c--) {
            word = word << 1 | (uint32_t)(pixels[c * places + place] >= least);
            if (c % 32 == 0)
                out[c / 32] = word;
        }
    }
}
