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

// The sum of P products, of inputs of B bits and weights of V bits: a weight's bits mean -1 or +1, of which those count
// 1, 2, 4 and so on. Where a bit means -1, the input's inverse is counted.
module dot #(parameter P = 2, B = 1, V = 1, S = 2, W = 2) (input [P*B-1:0] x, input [P*V-1:0] w, output [S-1:0] n);
  wire [P*B-1:0] px;
  wire [P*V-1:0] pw;
  wire [S*(B*V+1)-1:0] sums;
  planes #(P, B) of_x(x, px);
  planes #(P, V) of_w(w, pw);
  assign sums[S-1:0] = 0;
  genvar b, v;
  generate
    for (b = 0; b < B; b = b + 1) begin : input_bit
      for (v = 0; v < V; v = v + 1) begin : weight_bit
        wire [W-1:0] equal;
        count #(P, W) counter(px[P*b +: P] ~^ pw[P*v +: P], equal);
        assign sums[S*(V*b+v+1) +: S] = sums[S*(V*b+v) +: S] + (equal << b + v);
      end
    end
  endgenerate
  assign n = sums[S*B*V +: S];
endmodule

// M neurons one after the other, P of their K inputs at each clock. The weights lie in a memory outside, which gives
// those of an address one clock later. The inputs come LANES at a time, while the image before is worked on.
module layer #(parameter K = 4, M = 2, P = 2, B = 1, V = 1, S = 3, LANES = 1, A = 2, N = 1, W = 2) (
  input clk, input valid, input [LANES*B-1:0] x, output ready,
  output reg [A-1:0] address, input [P*V-1:0] weights,
  output reg done, output reg [N-1:0] neuron, output reg [S-1:0] n
);
  localparam WORDS = (K + P - 1) / P;
  (* no_rw_check *) reg [P*B-1:0] images [0:2*WORDS-1]; // two of them
  reg [1:0] full; // which image is complete
  reg coming, going; // the image that is stored, and the one that is worked on

  // Inputs are gathered until a word of P is full. Behind the last ones a word has zeros.
  reg [P*B-1:0] gathered;
  reg [31:0] held, stored, to;
  wire [P*B-1:0] word = {x, gathered} >> LANES * B;
  wire last = stored == K - LANES, complete = held == P - LANES || last;
  assign ready = !full[coming];

  // Three steps of a pipeline: an image's word is read, multiplied, and added.
  reg [31:0] at, next_neuron;
  wire busy = full[going], last_word = at == WORDS - 1, last_neuron = next_neuron == M - 1;
  reg [P*B-1:0] inputs;
  reg [N-1:0] neuron_1, neuron_2;
  reg first_1, last_1, first_2, last_2;
  wire [S-1:0] product;
  reg [S-1:0] product_2;
  dot #(P, B, V, S, W) multiplier(inputs, weights, product);

  initial begin
    full = 0; coming = 0; going = 0; gathered = 0; held = 0; stored = 0; to = 0;
    at = 0; next_neuron = 0; address = 0; last_1 = 0; last_2 = 0; done = 0;
  end

  always @(posedge clk) begin
    if (valid) begin
      gathered <= complete ? 0 : word;
      held <= complete ? 0 : held + LANES;
      stored <= last ? 0 : stored + LANES;
      if (complete) begin
        images[to] <= word;
        to <= to == 2 * WORDS - 1 ? 0 : to + 1;
      end
      if (last) begin
        full[coming] <= 1;
        coming <= !coming;
      end
    end
    if (busy) begin
      at <= last_word ? 0 : at + 1;
      address <= last_word && last_neuron ? 0 : address + 1;
      if (last_word)
        next_neuron <= last_neuron ? 0 : next_neuron + 1;
      if (last_word && last_neuron) begin
        full[going] <= 0;
        going <= !going;
      end
    end
    inputs <= images[going ? at + WORDS : at];
    {first_1, last_1, neuron_1} <= {at == 0, busy && last_word, next_neuron[N-1:0]};
    product_2 <= product;
    {first_2, last_2, neuron_2} <= {first_1, last_1, neuron_1};
    n <= first_2 ? product_2 : n + product_2;
    {done, neuron} <= {last_2, neuron_2};
  end
endmodule

// The largest of N numbers of R bits, and which one it is; of equal ones the first.
module largest #(parameter N = 2, R = 1, C = 1, FIRST = 0) (
  input [N*R-1:0] numbers, output [R-1:0] most, output [C-1:0] who
);
  generate
    if (N == 1) begin : one
      assign most = numbers;
      assign who = FIRST;
    end else begin : split
      localparam H = N / 2;
      wire [R-1:0] a, b;
      wire [C-1:0] i, j;
      largest #(H, R, C, FIRST) lower(numbers[H*R-1:0], a, i);
      largest #(N - H, R, C, FIRST + H) upper(numbers[N*R-1:H*R], b, j);
      assign most = b > a ? b : a;
      assign who = b > a ? j : i;
    end
  endgenerate
endmodule

// The same of N numbers that come one after the other.
module largest_so_far #(parameter N = 2, R = 1, C = 1) (
  input clk, input valid, input [R-1:0] number, input [C-1:0] i, output reg done, output reg [C-1:0] best
);
  reg [R-1:0] most;
  initial done = 0;
  always @(posedge clk) begin
    done <= valid && i == N - 1;
    if (valid && (i == 0 || number > most)) begin
      most <= number;
      best <= i;
    end
  end
endmodule

// A number v of W bits, less LOW, as a code from 0 to TOP of C bits.
module clip #(parameter W = 9, C = 8, LOW = 0, TOP = 255) (input [W-1:0] v, output [C-1:0] code);
  wire [W+C:0] above = v - LOW; // in two's complement
  assign code = above[W+C] ? 0 : above > TOP ? TOP : above[C-1:0];
endmodule
