module $name(
  input clk, input valid, input [$X:0] x, output ready,
  output summed, output [$S:0] sum, output done, output [$C:0] best
);
wire v0 = valid;
wire [$X:0] x0 = x;
$layers
assign ready = ready0, summed = v$next, sum = $unit * s$i - offset;
$logits
largest_so_far #($classes, $l, $c) of_all(clk, v$next, y, who$i, done, best);
endmodule

