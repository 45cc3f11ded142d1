/* For a Raspberry Pi Pico: send INPUTS bytes to its USB port, and the answer is the class. */
#include "pico/stdlib.h"
#include <stdio.h>

#include "../net.c"

int main(void)
{
    static uint8_t pixels[INPUTS];
    static int32_t sums[CLASSES];
    stdio_init_all();
    for (;;) {
        for (int k = 0; k < INPUTS; k++)
            pixels[k] = (uint8_t)getchar();
        printf("%d\n", net_classify(pixels, sums));
    }
}
