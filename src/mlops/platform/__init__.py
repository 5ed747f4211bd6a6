"""What talks to Spark, Delta, MLflow and the workspace."""
