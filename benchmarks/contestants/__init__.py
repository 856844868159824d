"""What `benchmarks.rivals` compares: each module loads the same CSV into a typed table, merged by key.

    prepare(folder)              what a process does once before its first load: a session, a table
    load(data, folder) -> dict   loads the file, and returns at least `rows`: rows of the table afterwards
    KEPT                         what it checks and keeps, in a few words

The file has no key. A rival's is the number of the line, which costs it least and holds as long as the file is the same one;
ours is the id that the product gives each line.
"""
