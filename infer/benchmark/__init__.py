"""An encoder and made-up photos → how fast this machine is."""
