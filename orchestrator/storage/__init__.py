"""Every file name and every byte that is kept."""
