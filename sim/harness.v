// Streams images into a core and writes down what it does, without a call to Python in a cycle.
//
// Reads harness.txt (bytes of an image, 1 if writes are wanted, words of a load, images after each
// load) and pixels.bin, one byte a pixel and channel, in the order of the core's port. Where weights
// are loaded (LOAD is defined), reads loads.bin, one load after the other: the first goes to the
// core at once, each further one when all images after the one before are computed. Writes
// logits.txt (class, logit, cycle, cycles of the image), and if wanted writes.txt: the cycle, banks,
// parts, address and words of every write of results to the activation memory.
module harness(input clk, input rst, output reg [31:0] cycle, output [31:0] image_cycles,
               output busy, output done, output short, output long);
  integer settings, pixels, logits, writes, size, tracing, position, class_, next;
  integer words, images, unsent, unfinished;
  reg [7:0] data;
  reg valid;
  wire ready, last, logit_valid;
  wire [32:0] logit;

  assign last = position == size - 1;

`ifdef LOAD
  integer loads, word;
  reg [31:0] raw, load_data;
  reg loading, load_valid;
  wire load_ready, load_last, loaded, load_error;
  assign load_last = word == words - 1;
`endif

  `TOP core(
`ifdef LOAD
    .load__valid(load_valid), .load__ready(load_ready), .loaded(loaded), .load_error(load_error),
    .load__payload({load_last, load_data}),
`endif
    .clk(clk), .rst(rst), .enable(1'b1),
    .pixels__valid(valid), .pixels__ready(ready), .pixels__payload({last, data}),
    .logits__valid(logit_valid), .logits__ready(1'b1), .logits__payload(logit),
    .busy(busy), .done(done), .cycles(image_cycles), .short(short), .long(long));

  initial begin
    pixels = $fopen("pixels.bin", "rb");
    logits = $fopen("logits.txt", "w");
    settings = $fopen("harness.txt", "r");
    if ($fscanf(settings, "%d %d %d %d", size, tracing, words, images) != 4) $finish;
    if (tracing != 0) writes = $fopen("writes.txt", "w");
    next = $fgetc(pixels);
    position = 0;
    class_ = 0;
    cycle = 0;
    valid = 0;
    data = 0;
    unsent = images;
    unfinished = images;
`ifdef LOAD
    loads = $fopen("loads.bin", "rb");
    word = 0;
    loading = 1;
    load_valid = 0;
    unsent = 0;
`endif
  end

  always @(posedge clk) begin
    cycle <= cycle + 1;
    if (!rst) begin
      if (!valid || ready) begin
        if (valid) position <= last ? 0 : position + 1;
        if (valid && last) unsent = unsent - 1;
        valid <= next >= 0 && unsent > 0;
        data <= next[7:0];
        if (next >= 0 && unsent > 0) next = $fgetc(pixels);
      end
`ifdef LOAD
      if (done) unfinished = unfinished - 1;
      if (done && unfinished == 0) loading <= 1;
      if (!load_valid || load_ready) begin
        load_valid <= 0;
        if (load_valid) word <= load_last ? 0 : word + 1;
        if (load_valid && load_last) begin
          loading <= 0;
          unsent = images;
          unfinished = images;
        end else if (loading) begin
          load_valid <= $fread(raw, loads) == 4;
          load_data <= {raw[7:0], raw[15:8], raw[23:16], raw[31:24]};
        end
      end
`endif
      if (logit_valid) begin
        $fwrite(logits, "%0d %0d %0d %0d\n", class_, $signed(logit[31:0]), cycle, image_cycles);
        if (logit[32]) $fflush(logits);
        class_ <= logit[32] ? 0 : class_ + 1;
      end
      if (tracing != 0 && |core.writer.write_banks)
        $fwrite(writes, "%0d %h %h %h %h\n", cycle, core.writer.write_banks,
                core.writer.write_parts, core.writer.write_address, core.writer.write_data);
    end
  end
endmodule
