"""Who executes the stages, and where: in this process, or in processes of their own."""
