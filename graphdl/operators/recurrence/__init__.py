"""How recurrent layers are computed: one step, one layer in one direction, and layers on top of each other."""
