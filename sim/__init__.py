"""cocotb benches and what runs them."""
