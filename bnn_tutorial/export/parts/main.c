#ifdef NET_MAIN /* a program: compile with -D NET_MAIN, and give it an image, ./a.out < digit.pgm */
#include <stdio.h>

int main(void)
{
    static uint8_t pixels[INPUTS];
    int32_t sums[CLASSES];
    unsigned width, height, most;
    if (scanf("P5 %u %u %u", &width, &height, &most) != 3 || getchar() == EOF || width * height != INPUTS || most != 255
        || fread(pixels, 1, INPUTS, stdin) != INPUTS) {
        fputs("expected an image of INPUTS pixels of 8 bits, white on black, in the form PGM (P5) without comments\n", stderr);
        return 1;
    }
    printf("%d\n", net_classify(pixels, sums));
    return 0;
}
#endif
