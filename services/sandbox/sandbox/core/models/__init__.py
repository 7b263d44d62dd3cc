"""What the models of this server are: their owners, parameters, prices, and what inputs they take."""
