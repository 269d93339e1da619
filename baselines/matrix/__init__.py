"""Trainings of several tasks and seeds by one command, shown in one table, reported on as one."""
