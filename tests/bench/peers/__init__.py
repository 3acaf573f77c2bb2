"""What a user would write in an afternoon instead: the least that the same work can cost."""
