# Synthesizes, places and routes the design that project.tcl beside this script describes.
#
#   vivado -mode batch -source build.tcl
#
# Everything is read and written in the folder of this script. In batch mode Vivado ends with a
# non-zero exit code at the first command that fails.

set here [file dirname [file normalize [info script]]]
source [file join $here project.tcl]
set reports [file join $here reports]
file mkdir $reports

read_verilog [file join $here $verilog]
read_xdc {*}$xdc_options [file join $here $xdc]

synth_design -top $top -part $part {*}$synth_options
report_utilization -file [file join $reports utilization_synth.rpt]
report_timing_summary -file [file join $reports timing_synth.rpt]

opt_design
place_design
route_design
report_utilization -file [file join $reports utilization.rpt]
report_utilization -hierarchical -file [file join $reports utilization_hierarchical.rpt]
report_timing_summary -max_paths 10 -file [file join $reports timing.rpt]
write_checkpoint -force [file join $here $top.dcp]
if {$bitstream} {
    write_bitstream -force [file join $here $top.bit]
}
