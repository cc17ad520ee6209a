"""A user's own checks: what judges an answer where no pack does. `check_tasks` reads them and gives them to tasks."""
