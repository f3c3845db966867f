"""Detection on NVIDIA GPUs. Nothing here imports CUDA or TensorRT before an engine is asked for."""
