
// Layer $i: $neurons neurons of $size inputs of $bits bits, $width at a time; the bits of a weight mean -1 and +1.
wire [$A:0] at$i;
wire [$M:0] m$i;
wire [$N:0] n$i;
wire done$i, ready$i;
layer #($size, $neurons, $width, $bits, $places, $n, $lanes, $a, $m, $w) layer$i(
  clk, v$i, x$i, ready$i, at$i, w$i, done$i, m$i, n$i
);
reg [$N:0] s$i;
reg [$M:0] who$i;
reg v$next;
initial v$next = 0;
always @(posedge clk) {v$next, who$i, s$i} <= {done$i, m$i, n$i};
