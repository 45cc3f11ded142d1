/* For Arduino: send INPUTS bytes to the serial port, and the answer is the class. The network is in net.c beside this. */
#include <stdint.h>

extern "C" int net_classify(const uint8_t *pixels, int32_t *sums);

static uint8_t pixels[INPUTS];
static int32_t sums[CLASSES];

void setup()
{
    Serial.begin(115200);
}

void loop()
{
    if (Serial.readBytes((char *)pixels, INPUTS) == INPUTS)
        Serial.println(net_classify(pixels, sums));
}
