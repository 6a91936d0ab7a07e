// Made by doubleq 0.1.0, see sidecar.json.

module array_doubleq_2x3(i__valid, clk, rst, o__payload, o__valid, i__payload);
  reg \$auto$verilog_backend.cc:2355:dump_module$1  = 0;
  wire \$1 ;
  reg \$2 ;
  reg \$3 ;
  reg \$4 ;
  reg \$5 ;
  input clk;
  wire clk;
  reg first_1 = 1'h0;
  reg first_2 = 1'h0;
  reg first_3 = 1'h0;
  input [55:0] i__payload;
  wire [55:0] i__payload;
  input i__valid;
  wire i__valid;
  reg last_1 = 1'h0;
  reg last_2 = 1'h0;
  reg last_3 = 1'h0;
  output [63:0] o__payload;
  wire [63:0] o__payload;
  output o__valid;
  reg o__valid = 1'h0;
  input rst;
  wire rst;
  wire [31:0] slice_0__acc;
  wire [31:0] slice_1__acc;
  reg valid_1 = 1'h0;
  reg valid_2 = 1'h0;
  reg valid_3 = 1'h0;
  always @(posedge clk)
    last_1 <= i__payload[55];
  always @(posedge clk)
    valid_2 <= \$3 ;
  always @(posedge clk)
    first_2 <= first_1;
  always @(posedge clk)
    last_2 <= last_1;
  always @(posedge clk)
    valid_3 <= \$4 ;
  always @(posedge clk)
    first_3 <= first_2;
  always @(posedge clk)
    last_3 <= last_2;
  always @(posedge clk)
    o__valid <= \$5 ;
  assign \$1  = valid_3 & last_3;
  always @(posedge clk)
    valid_1 <= \$2 ;
  always @(posedge clk)
    first_1 <= i__payload[54];
  slice_paper_doubleq_3_binary_p1_acc32 slice_0 (
    .acc(slice_0__acc),
    .clk(clk),
    .enable(valid_3),
    .first(first_3),
    .w(i__payload[38:24]),
    .x(i__payload[23:0])
  );
  slice_paper_doubleq_3_binary_p1_acc32 slice_1 (
    .acc(slice_1__acc),
    .clk(clk),
    .enable(valid_3),
    .first(first_3),
    .w(i__payload[53:39]),
    .x(i__payload[23:0])
  );
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$3  = valid_1;
    if (rst) begin
      \$3  = 1'h0;
    end
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$4  = valid_2;
    if (rst) begin
      \$4  = 1'h0;
    end
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$5  = \$1 ;
    if (rst) begin
      \$5  = 1'h0;
    end
  end
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$2  = i__valid;
    if (rst) begin
      \$2  = 1'h0;
    end
  end
  assign o__payload[63:32] = slice_1__acc;
  assign o__payload[31:0] = slice_0__acc;
endmodule

module slice_paper_doubleq_3_binary_p1_acc32(w, enable, first, clk, acc, x);
  output [31:0] acc;
  wire [31:0] acc;
  wire [16:0] accumulator_0__addends;
  input clk;
  wire clk;
  input enable;
  wire enable;
  input first;
  wire first;
  input [14:0] w;
  wire [14:0] w;
  input [23:0] x;
  wire [23:0] x;
  accumulator_1x17_c0_32 accumulator_0 (
    .acc(acc),
    .addends(accumulator_0__addends),
    .clk(clk),
    .enable(enable),
    .first(first)
  );
  dot_paper_doubleq_3_binary_p1 dot (
    .addends(accumulator_0__addends),
    .clk(clk),
    .w(w),
    .x(x)
  );
endmodule

module accumulator_1x17_c0_32(enable, first, clk, acc, addends);
  reg \$auto$verilog_backend.cc:2355:dump_module$1  = 0;
  wire [31:0] \$1 ;
  wire [32:0] \$2 ;
  reg [31:0] \$3 ;
  output [31:0] acc;
  reg [31:0] acc = 32'd0;
  input [16:0] addends;
  wire [16:0] addends;
  input clk;
  wire clk;
  input enable;
  wire enable;
  input first;
  wire first;
  assign \$1  = first ? 32'd0 : acc;
  assign \$2  = $signed(\$1 ) + $signed(addends);
  always @(posedge clk)
    acc <= \$3 ;
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$1 ) begin end
    \$3  = acc;
    if (enable) begin
      \$3  = \$2 [31:0];
    end
  end
endmodule

module dot_paper_doubleq_3_binary_p1(w, clk, addends, x);
  output [16:0] addends;
  wire [16:0] addends;
  input clk;
  wire clk;
  wire [15:0] pe_0__product;
  wire [15:0] pe_1__product;
  wire [15:0] pe_2__product;
  reg [15:0] product_0 = 16'h0000;
  reg [15:0] product_1 = 16'h0000;
  reg [15:0] product_2 = 16'h0000;
  wire [47:0] tree__terms;
  input [14:0] w;
  wire [14:0] w;
  input [23:0] x;
  wire [23:0] x;
  always @(posedge clk)
    product_0 <= pe_0__product;
  always @(posedge clk)
    product_1 <= pe_1__product;
  always @(posedge clk)
    product_2 <= pe_2__product;
  shifter pe_0 (
    .product(pe_0__product),
    .weight(w[4:0]),
    .x(x[7:0])
  );
  shifter pe_1 (
    .product(pe_1__product),
    .weight(w[9:5]),
    .x(x[15:8])
  );
  shifter pe_2 (
    .product(pe_2__product),
    .weight(w[14:10]),
    .x(x[23:16])
  );
  adder_tree_binary_3_m16384_16384_c0_p1 tree (
    .addends(addends),
    .clk(clk),
    .terms(tree__terms)
  );
  assign tree__terms[47:32] = product_2;
  assign tree__terms[31:16] = product_1;
  assign tree__terms[15:0] = product_0;
endmodule

module shifter(weight, product, x);
  wire [7:0] \$1 ;
  wire [8:0] addend;
  wire [7:0] flipped;
  wire [7:0] gated;
  output [15:0] product;
  wire [15:0] product;
  input [4:0] weight;
  wire [4:0] weight;
  input [7:0] x;
  wire [7:0] x;
  assign gated = weight[3] ? x : 8'h00;
  assign \$1  = ~ gated;
  assign flipped = weight[4] ? \$1  : gated;
  assign addend = $signed(flipped) + $signed({ 1'h0, weight[4] });
  assign product = $signed(addend) << weight[2:0];
endmodule

module adder_tree_binary_3_m16384_16384_c0_p1(clk, addends, terms);
  wire [16:0] \$1 ;
  wire [17:0] \$2 ;
  output [16:0] addends;
  reg [16:0] addends = 17'h00000;
  input clk;
  wire clk;
  reg [16:0] sum_1_0 = 17'h00000;
  reg [15:0] sum_1_1 = 16'h0000;
  input [47:0] terms;
  wire [47:0] terms;
  assign \$1  = $signed(terms[15:0]) + $signed(terms[31:16]);
  assign \$2  = $signed(sum_1_0) + $signed(sum_1_1);
  always @(posedge clk)
    sum_1_0 <= \$1 ;
  always @(posedge clk)
    sum_1_1 <= terms[47:32];
  always @(posedge clk)
    addends <= \$2 [16:0];
endmodule
