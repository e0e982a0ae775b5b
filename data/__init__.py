"""Programs that turn a data set's own files into the records that GKCMN trains on."""
