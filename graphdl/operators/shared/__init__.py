"""What several families of operators share: base classes, checks of settings and shapes, and calls of kernels."""
