"""Pure decisions: numpy and pandas in, frozen values out. No Spark, no MLflow, no files, no clock."""
