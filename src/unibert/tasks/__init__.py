"""Fine-tuning tasks: reader, features, prediction and score of each, and one training function for all of them."""
