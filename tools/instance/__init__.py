"""What ksinit is made of: the processes of an instance, their files, their readiness, their start and end."""
