"""What a dataset is worth: measures of its clips, a judgement, and a report that people can read."""
