"""Figures: functions of tables and pictures."""
