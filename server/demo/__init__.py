"""``antiphon demo``: the main job, end to end, against a real server, with a report one can look at."""
