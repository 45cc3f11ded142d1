/*
 * A network in whole numbers, SHAPES, written by bnn_tutorial.export.c.
 *
PROVENANCE * Freestanding C99, in numbers of 32 bits. A layer adds up whole numbers times whole numbers. A hidden sign is a bit, 1
 * for +1, and 32 of them are a word, the first in its lowest bit; other hidden outputs are codes, a byte each.
 */
#ifndef NET_C
#define NET_C

#include <stdint.h>

/* A function that is called often, and better compiled by itself. */
#ifdef __GNUC__
#define NET_NOINLINE __attribute__((noinline))
#else
#define NET_NOINLINE
#endif

/* The class of INPUTS bytes (of an image: pixels, where much is ink); the last layer's CLASSES sums are stored. */
int net_classify(const uint8_t pixels[INPUTS], int32_t sums[CLASSES]);
