"""What the platform is measured by, beside the systems that one would pick instead: `make bench`."""
