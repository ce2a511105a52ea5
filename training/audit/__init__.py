"""`report/index.html`: one page that says what a run was trained on, how well it performs, and what is not known."""
