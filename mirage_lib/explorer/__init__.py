"""The attack explorer: its content, the notebook widget, and the export of models to the browser."""
