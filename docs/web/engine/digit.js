// An image of a digit, as in MNIST.

export const SIDE = 28; // pixels
export const PIXELS = SIDE * SIDE;
export const INK = 255; // of a pixel: full ink, 1.0 for the model
export const DIGITS = 10; // classes
