module $name(input clk, input [$X:0] x, output reg [$C:0] best, output [$S:0] sums);
wire [$X:0] x0 = x;
$layers

// The best class.
$logits
wire [$L:0] most;
wire [$C:0] who;
largest #($classes, $l, $c) of_all({$all}, most, who);
always @(posedge clk) best <= who;
endmodule

