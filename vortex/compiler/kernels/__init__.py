"""Programs in Triton: the source generator, the planner, selection and attention kernels, and building ahead of time."""
