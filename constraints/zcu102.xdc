# AMD ZCU102 (xczu9eg-ffvb1156-2-e): clock of the programmable logic, CPU reset button (active
# high) and four LEDs.

set_property -dict {PACKAGE_PIN G21 IOSTANDARD LVDS_25} [get_ports clk_p]
set_property -dict {PACKAGE_PIN F21 IOSTANDARD LVDS_25} [get_ports clk_n]
create_clock -name clk -period 8.000 [get_ports clk_p]

set_property -dict {PACKAGE_PIN AM13 IOSTANDARD LVCMOS33} [get_ports rst]
set_false_path -from [get_ports rst]

set_property -dict {PACKAGE_PIN AG14 IOSTANDARD LVCMOS33} [get_ports {led[0]}]
set_property -dict {PACKAGE_PIN AF13 IOSTANDARD LVCMOS33} [get_ports {led[1]}]
set_property -dict {PACKAGE_PIN AE13 IOSTANDARD LVCMOS33} [get_ports {led[2]}]
set_property -dict {PACKAGE_PIN AJ14 IOSTANDARD LVCMOS33} [get_ports {led[3]}]
set_false_path -to [get_ports {led[*]}]
