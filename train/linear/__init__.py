"""Features of a frozen network → the weights of dense layers, in closed form."""
