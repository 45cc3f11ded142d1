// How many of N bits are 1? n has as many bits as that takes, W. One bit joins two smaller counts as the carry into
// their sum. The first of them has 2^k - 1 bits where it can: then nothing but full adders is needed.
module count #(parameter N = 3, W = 2) (input [N-1:0] x, output [W-1:0] n);
  function integer width(input integer most); // of a number from 0 to most
    for (width = 0; most > 0; width = width + 1)
      most = most >> 1;
  endfunction
  generate
    if (N == 1)
      assign n = x;
    else if (N == 2)
      assign n = {x[1] & x[0], x[1] ^ x[0]};
    else begin : split
      localparam L = (1 << W - 1) - 1, R = N - 1 - L;
      wire [W-2:0] left, right;
      wire [W-1:0] carry;
      assign carry[0] = x[N-1];
      count #(L, W - 1) c_left(x[L-1:0], left);
      if (R == 0)
        assign right = 0;
      else begin : more
        wire [width(R)-1:0] r;
        count #(R, width(R)) c_right(x[N-2:L], r);
        assign right = r;
      end
      genvar i;
      for (i = 0; i < W - 1; i = i + 1) begin : full_adder
        assign n[i] = left[i] ^ right[i] ^ carry[i];
        assign carry[i+1] = left[i] & right[i] | left[i] & carry[i] | right[i] & carry[i];
      end
      assign n[W-1] = carry[W-1];
    end
  endgenerate
endmodule

// K numbers of B bits, in another order: all their lowest bits first, and their highest last.
module planes #(parameter K = 2, B = 8) (input [K*B-1:0] x, output [K*B-1:0] p);
  genvar k, b;
  generate
    for (k = 0; k < K; k = k + 1) begin : number
      for (b = 0; b < B; b = b + 1) begin : place
        assign p[K*b+k] = x[B*k+b];
      end
    end
  endgenerate
endmodule
