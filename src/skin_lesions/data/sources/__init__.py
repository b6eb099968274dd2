"""Sources of images: synthetic images, a folder, or a Kaggle data set."""
