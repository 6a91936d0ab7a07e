// Functional models of the cells of the 7 series (UG474, UG479) that hand-mapped Verilog and yosys's
// netlists instantiate, without delays.

module GND(output G);
  assign G = 1'b0;
endmodule

module VCC(output P);
  assign P = 1'b1;
endmodule

module BUFG(input I, output O);
  assign O = I;
endmodule

module INV(input I, output O);
  assign O = ~I;
endmodule

module LUT1 #(parameter [1:0] INIT = 0) (input I0, output O);
  assign O = INIT[I0];
endmodule

module LUT2 #(parameter [3:0] INIT = 0) (input I0, I1, output O);
  assign O = INIT[{I1, I0}];
endmodule

module LUT3 #(parameter [7:0] INIT = 0) (input I0, I1, I2, output O);
  assign O = INIT[{I2, I1, I0}];
endmodule

module LUT4 #(parameter [15:0] INIT = 0) (input I0, I1, I2, I3, output O);
  assign O = INIT[{I3, I2, I1, I0}];
endmodule

module LUT5 #(parameter [31:0] INIT = 0) (input I0, I1, I2, I3, I4, output O);
  assign O = INIT[{I4, I3, I2, I1, I0}];
endmodule

module LUT6 #(parameter [63:0] INIT = 0) (input I0, I1, I2, I3, I4, I5, output O);
  assign O = INIT[{I5, I4, I3, I2, I1, I0}];
endmodule

module LUT6_2 #(parameter [63:0] INIT = 0) (input I0, I1, I2, I3, I4, I5, output O5, O6);
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
endmodule

module MUXF7(input I0, I1, S, output O);
  assign O = S ? I1 : I0;
endmodule

module MUXF8(input I0, I1, S, output O);
  assign O = S ? I1 : I0;
endmodule

// One of CI and CYINIT is 0.
module CARRY4(input CI, CYINIT, input [3:0] DI, S, output [3:0] CO, O);
  wire c0 = CI | CYINIT;
  wire c1 = S[0] ? c0 : DI[0];
  wire c2 = S[1] ? c1 : DI[1];
  wire c3 = S[2] ? c2 : DI[2];
  wire c4 = S[3] ? c3 : DI[3];
  assign O = S ^ {c3, c2, c1, c0};
  assign CO = {c4, c3, c2, c1};
endmodule

module FDRE #(parameter INIT = 1'b0) (input C, CE, D, R, output reg Q);
  initial Q = INIT;
  always @(posedge C)
    if (R) Q <= 1'b0;
    else if (CE) Q <= D;
endmodule

module FDSE #(parameter INIT = 1'b1) (input C, CE, D, S, output reg Q);
  initial Q = INIT;
  always @(posedge C)
    if (S) Q <= 1'b1;
    else if (CE) Q <= D;
endmodule

module SRL16E #(parameter [15:0] INIT = 0) (input CLK, CE, D, A0, A1, A2, A3, output Q);
  reg [15:0] bits;
  initial bits = INIT;
  always @(posedge CLK)
    if (CE) bits <= {bits[14:0], D};
  assign Q = bits[{A3, A2, A1, A0}];
endmodule

// A register of DSP48E1, or a wire where it is not used.
module DSP48E1_REGISTER #(parameter USED = 1, parameter WIDTH = 1)
    (input CLK, CE, RST, input [WIDTH-1:0] D, output [WIDTH-1:0] Q);
  generate
    if (USED != 0) begin : used
      reg [WIDTH-1:0] q;
      initial q = 0;
      always @(posedge CLK)
        if (RST) q <= 0;
        else if (CE) q <= D;
      assign Q = q;
    end else begin : unused
      wire unused_inputs = &{CLK, CE, RST};
      assign Q = D;
    end
  endgenerate
endmodule

// Without pattern detection, SIMD, control registers, and logic functions of the ALU: it stops the
// simulation where it is asked for these.
module DSP48E1 #(
    parameter ACASCREG = 1, parameter ADREG = 1, parameter ALUMODEREG = 1, parameter AREG = 1,
    parameter A_INPUT = "DIRECT", parameter BCASCREG = 1, parameter BREG = 1,
    parameter B_INPUT = "DIRECT", parameter CARRYINREG = 1, parameter CARRYINSELREG = 1,
    parameter CREG = 1, parameter DREG = 1, parameter INMODEREG = 1, parameter MREG = 1,
    parameter OPMODEREG = 1, parameter PREG = 1, parameter USE_DPORT = "FALSE",
    parameter USE_MULT = "MULTIPLY", parameter USE_SIMD = "ONE48")
   (input [29:0] A, ACIN, input [17:0] B, BCIN, input [47:0] C, PCIN, input [24:0] D,
    input [3:0] ALUMODE, input [4:0] INMODE, input [6:0] OPMODE, input [2:0] CARRYINSEL,
    input CARRYIN, CLK, CEA1, CEA2, CEAD, CEB1, CEB2, CEC, CED, CEM, CEP,
    input RSTA, RSTB, RSTC, RSTD, RSTM, RSTP,
    input CARRYCASCIN, MULTSIGNIN, CEALUMODE, CECARRYIN, CECTRL, CEINMODE,
    input RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE,
    output [29:0] ACOUT, output [17:0] BCOUT, output [47:0] P, PCOUT,
    output CARRYCASCOUT, MULTSIGNOUT, OVERFLOW, UNDERFLOW, PATTERNDETECT, PATTERNBDETECT,
    output [3:0] CARRYOUT);
  wire [29:0] a1, a2;
  wire [17:0] b1, b2;
  wire [24:0] d;
  wire [47:0] c;
  DSP48E1_REGISTER #(.USED(AREG == 2), .WIDTH(30)) a1_register(
    .CLK(CLK), .CE(CEA1), .RST(RSTA), .D(A_INPUT == "DIRECT" ? A : ACIN), .Q(a1));
  DSP48E1_REGISTER #(.USED(AREG != 0), .WIDTH(30)) a2_register(
    .CLK(CLK), .CE(CEA2), .RST(RSTA), .D(a1), .Q(a2));
  DSP48E1_REGISTER #(.USED(BREG == 2), .WIDTH(18)) b1_register(
    .CLK(CLK), .CE(CEB1), .RST(RSTB), .D(B_INPUT == "DIRECT" ? B : BCIN), .Q(b1));
  DSP48E1_REGISTER #(.USED(BREG != 0), .WIDTH(18)) b2_register(
    .CLK(CLK), .CE(CEB2), .RST(RSTB), .D(b1), .Q(b2));
  DSP48E1_REGISTER #(.USED(CREG != 0), .WIDTH(48)) c_register(
    .CLK(CLK), .CE(CEC), .RST(RSTC), .D(C), .Q(c));
  DSP48E1_REGISTER #(.USED(DREG != 0), .WIDTH(25)) d_register(
    .CLK(CLK), .CE(CED), .RST(RSTD), .D(D), .Q(d));
  assign ACOUT = ACASCREG == 1 && AREG == 2 ? a1 : a2;
  assign BCOUT = BCASCREG == 1 && BREG == 2 ? b1 : b2;

  wire [24:0] a_gated = INMODE[1] ? 25'd0 : INMODE[0] ? a1[24:0] : a2[24:0];
  wire [24:0] d_gated = INMODE[2] ? d : 25'd0;
  wire [24:0] ad;
  DSP48E1_REGISTER #(.USED(ADREG != 0), .WIDTH(25)) ad_register(
    .CLK(CLK), .CE(CEAD), .RST(RSTD),
    .D(INMODE[3] ? d_gated - a_gated : d_gated + a_gated), .Q(ad));

  wire [24:0] multiplicand = USE_DPORT == "FALSE" ? a_gated : ad;
  wire [17:0] multiplier = INMODE[4] ? b1 : b2;
  wire [42:0] m;
  DSP48E1_REGISTER #(.USED(MREG != 0), .WIDTH(43)) m_register(
    .CLK(CLK), .CE(CEM), .RST(RSTM),
    .D({{18{multiplicand[24]}}, multiplicand} * {{25{multiplier[17]}}, multiplier}), .Q(m));

  wire [47:0] last;  // P where it is registered: the other models have no loop then
  wire [47:0] x = OPMODE[1:0] == 2'b01 ? {{5{m[42]}}, m} : OPMODE[1:0] == 2'b10 ? last :
                  OPMODE[1:0] == 2'b11 ? {a2, b2} : 48'd0;
  wire [47:0] y = OPMODE[3:2] == 2'b11 ? c : OPMODE[3:2] == 2'b10 ? ~48'd0 : 48'd0;
  wire [47:0] z = OPMODE[6:4] == 3'b001 ? PCIN : OPMODE[6:4] == 3'b010 ? last :
                  OPMODE[6:4] == 3'b011 ? c :
                  OPMODE[6:4] == 3'b101 ? {{17{PCIN[47]}}, PCIN[47:17]} :
                  OPMODE[6:4] == 3'b110 ? {{17{last[47]}}, last[47:17]} : 48'd0;
  wire [47:0] addend = x + y + {47'd0, CARRYIN};
  wire [47:0] sum = ALUMODE[0] ? z - addend : z + addend;
  DSP48E1_REGISTER #(.USED(PREG != 0), .WIDTH(48)) p_register(
    .CLK(CLK), .CE(CEP), .RST(RSTP), .D(sum), .Q(P));
  assign last = PREG != 0 ? P : 48'd0;
  assign PCOUT = P;

  // Pins of what has no model: yosys connects them all where it takes a block for combinational.
  wire unused_inputs = &{CARRYCASCIN, MULTSIGNIN, CEALUMODE, CECARRYIN, CECTRL, CEINMODE,
                         RSTALLCARRYIN, RSTALUMODE, RSTCTRL, RSTINMODE, CARRYINSEL};
  assign {CARRYCASCOUT, MULTSIGNOUT, OVERFLOW, UNDERFLOW, PATTERNDETECT, PATTERNBDETECT, CARRYOUT}
    = 10'bx;

`ifndef SYNTHESIS
  always @(posedge CLK)
    if (ALUMODEREG + CARRYINREG + CARRYINSELREG + INMODEREG + OPMODEREG != 0 ||
        USE_MULT != "MULTIPLY" || USE_SIMD != "ONE48" || CARRYINSEL != 3'd0 ||
        ALUMODE != 4'b0000 && ALUMODE != 4'b0011 ||
        OPMODE[6:4] == 3'b100 || OPMODE[6:4] == 3'b111 ||
        (OPMODE[1:0] == 2'b01) != (OPMODE[3:2] == 2'b01)) begin
      $display("ERROR: %m: a configuration of DSP48E1 without a model");
      $finish;
    end
`endif
endmodule
