"""The pages that are made from the code: what stands in each."""
